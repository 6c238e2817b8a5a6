"""Finding things in a workspace: content, names of files, symbols, and what fits some words best.

Here belong the search with ripgrep, the list of a workspace's files, symbols by tree-sitter and the ranked index. All of it
keeps out what ignore files leave out, unless asked, and never leaves the workspace.
"""
