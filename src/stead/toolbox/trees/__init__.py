"""Whole trees of files: listed with ignore rules, copied, compared, sent as tar in one stream and taken from one.

Contract: `contract.Trees` is the face. `ignore` is what `.gitignore` means, `walk` goes through a tree, `tar` is the format and
knows no file, `pack` and `unpack` join the two, `copying` copies within a root. The command line uses the same modules on the
machine of a person, so that both ends of a copy are one code.
"""
