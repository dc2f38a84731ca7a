"""A blend as the user lives it. No gi: tests drive it with a scripted daemon."""
