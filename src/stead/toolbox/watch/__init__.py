"""Watching a workspace: every change of files and directories, whatever its cause.

Here belong inotify and polling, what several changes of one thing become together, and handing them to who watches.
"""
