"""The guest of a machine with Windows: the ten methods of the guest protocol over its virtio-serial port, as a service.

Here belong what answers the methods on any system (`machine`, over the face that `face` describes), the rules of Windows'
names, and Windows itself: its files, commands, facts, power, port and service, by the standard library and ctypes alone. The
methods, the lines and the configuration are those of every guest. What begins by asserting the platform runs only there.
"""
