"""`videoespresso models pull`: weights from a hub, or a folder, into the models folder."""
