"""The running daemon: a broker that computes nothing and a worker that keeps the network warm."""
