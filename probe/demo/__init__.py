"""The loopback world behind `probe demo`. Read scenes.py first, then world.py, then walk.py."""
