from emulation import lifeline

lifeline.hold()
