// Only looked for: the stand-in for node plays the part of the bridge.
