"""The service killed, stopped, cut off and put out of time: nothing that was answered may be lost."""
