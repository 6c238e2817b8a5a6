"""Text files: read by lines, written, edited and patched, with their encoding and line ends kept.

Contract: `contract.Text` is the face. `document` turns bytes into text and back, `edits` and `patches` change text and know no
file, `local` joins them with the confined files of a workspace.
"""
