"""The process that computes, for one broker: `python -m blend_daemon.service.worker ADDRESS DEVICE`."""
