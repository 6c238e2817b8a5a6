"""What ignore files and globs mean: one matcher, which a test holds against git and another against ripgrep.

`patterns` has the lines of one file, in either syntax; `expressions` makes a regular expression of a line; `levels` has the
files that count in a directory, as ripgrep takes them (for searches and watches; trees ask as git does, in
`stead.toolbox.trees.scope`); `globs` has those of a caller.
"""
