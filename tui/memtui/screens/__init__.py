"""Dialogs over the main screen; each is imported when it is first opened."""
