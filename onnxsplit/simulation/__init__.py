"""Dynamic edge networks: channels, mobility, epochs, and the policies that choose a cut."""
