"""What is shown of a session: it is followed here and turned into the values that views draw."""
