"""The command line: one file a noun, thin over the SDK.

`entry` finds the word and loads only the file that serves it; `words` says what a word is; `context` is what every word
gets (where to connect, how to print); `output` prints tables, facts and JSON. The programs themselves (control plane,
node, guest) are loaded only by the words that start them.
"""
