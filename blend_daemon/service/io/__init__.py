"""The daemon's hands: sockets, processes, files and clocks. They do what the broker wants, and tell it what happened."""
