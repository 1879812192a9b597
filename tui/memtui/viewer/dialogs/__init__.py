"""The dialogs over the main screen; each module is imported when its dialog is opened for the first time."""
