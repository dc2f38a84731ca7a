"""The plug-in: `gimp` reads and changes images, `ui` has the windows, `job` lives a blend and knows neither of them."""
