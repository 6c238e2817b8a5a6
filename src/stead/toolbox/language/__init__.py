"""Language servers: diagnostics, definitions, references and hover for files of a workspace.

Here belong finding a server for a file, talking to it (`client`), what it knows of files (`documents`, `positions`) and how
long it runs (`pool`). What a language means is the server's business.
"""
