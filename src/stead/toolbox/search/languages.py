"""Languages whose symbols are known, by the ends of file names, and their grammars, each loaded when first needed.

Contract: `language_of(path)` is a language of ours or "" ; `grammar(language)` gives what parses it and the query for its
definitions, or raises "program_missing" and says what to install. In a query `@name` is a definition's name, and the other
capture its kind; `@within` gives a container without being a definition itself.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from stead.protocol.errors import SteadError

if TYPE_CHECKING:
    from tree_sitter import Language, Query

_ENDS = {
    "python": ".py .pyi",
    "javascript": ".js .mjs .cjs .jsx",
    "typescript": ".ts .mts .cts",
    "tsx": ".tsx",
    "go": ".go",
    "rust": ".rs",
    "java": ".java",
    "c": ".c .h",
    "cpp": ".cc .cpp .cxx .hpp .hh .hxx .cppm .ipp",
}
BY_END = {end: language for language, ends in _ENDS.items() for end in ends.split()}

_PYTHON = """
(class_definition name: (identifier) @name) @class
(function_definition name: (identifier) @name) @function
(module (expression_statement (assignment left: (identifier) @name)) @variable)
(class_definition body: (block (expression_statement (assignment left: (identifier) @name)) @field))
"""
_SCRIPT = """
(class_declaration name: (_) @name) @class
(function_declaration name: (identifier) @name) @function
(generator_function_declaration name: (identifier) @name) @function
(method_definition name: (_) @name) @method
(variable_declarator name: (identifier) @name value: [(arrow_function) (function_expression)]) @function
(program (lexical_declaration (variable_declarator name: (identifier) @name)) @variable)
(program (export_statement (lexical_declaration (variable_declarator name: (identifier) @name))) @variable)
"""
_JAVASCRIPT = (
    _SCRIPT
    + """
(field_definition property: (_) @name value: [(arrow_function) (function_expression)]) @method
"""
)
_TYPESCRIPT = (
    _SCRIPT
    + """
(abstract_class_declaration name: (_) @name) @class
(function_signature name: (identifier) @name) @function
(interface_declaration name: (_) @name) @interface
(type_alias_declaration name: (_) @name) @type
(enum_declaration name: (_) @name) @enum
(internal_module name: (_) @name) @module
(method_signature name: (_) @name) @method
(abstract_method_signature name: (_) @name) @method
(public_field_definition name: (_) @name value: [(arrow_function) (function_expression)]) @method
"""
)
_GO = """
(function_declaration name: (identifier) @name) @function
(method_declaration receiver: (parameter_list) @receiver name: (field_identifier) @name) @method
(type_spec name: (type_identifier) @name type: (struct_type)) @struct
(type_spec name: (type_identifier) @name type: (interface_type)) @interface
(type_spec name: (type_identifier) @name type: [(type_identifier) (qualified_type) (pointer_type) (slice_type) (map_type)
  (function_type) (array_type) (channel_type) (generic_type)]) @type
(type_alias name: (type_identifier) @name) @type
(source_file (const_declaration (const_spec name: (identifier) @name) @constant))
(source_file (var_declaration (var_spec name: (identifier) @name) @variable))
(source_file (var_declaration (var_spec_list (var_spec name: (identifier) @name) @variable)))
"""
_RUST = """
(function_item name: (identifier) @name) @function
(function_signature_item name: (identifier) @name) @function
(struct_item name: (type_identifier) @name) @struct
(enum_item name: (type_identifier) @name) @enum
(union_item name: (type_identifier) @name) @struct
(trait_item name: (type_identifier) @name) @trait
(type_item name: (type_identifier) @name) @type
(mod_item name: (identifier) @name) @module
(const_item name: (identifier) @name) @constant
(static_item name: (identifier) @name) @variable
(macro_definition name: (identifier) @name) @macro
(impl_item type: (_) @name) @within
"""
_JAVA = """
(class_declaration name: (identifier) @name) @class
(interface_declaration name: (identifier) @name) @interface
(enum_declaration name: (identifier) @name) @enum
(record_declaration name: (identifier) @name) @class
(annotation_type_declaration name: (identifier) @name) @interface
(method_declaration name: (identifier) @name) @method
(constructor_declaration name: (identifier) @name) @method
(field_declaration declarator: (variable_declarator name: (identifier) @name)) @field
(enum_constant name: (identifier) @name) @constant
"""
_C = """
(function_definition declarator: (_) @declarator) @function
(declaration declarator: (function_declarator) @declarator) @function
(declaration declarator: (pointer_declarator declarator: (function_declarator)) @declarator) @function
(struct_specifier name: (type_identifier) @name body: (_)) @struct
(union_specifier name: (type_identifier) @name body: (_)) @struct
(enum_specifier name: (type_identifier) @name body: (_)) @enum
(type_definition declarator: (_) @declarator) @type
(preproc_def name: (identifier) @name) @macro
(preproc_function_def name: (identifier) @name) @macro
"""
_CPP = (
    _C
    + """
(class_specifier name: (_) @name body: (_)) @class
(namespace_definition name: (_) @name) @module
(field_declaration declarator: (function_declarator) @declarator) @method
(alias_declaration name: (type_identifier) @name) @type
(concept_definition name: (identifier) @name) @type
"""
)


class _Row(NamedTuple):
    package: str
    function: str
    query: str


_ROWS = {
    "python": _Row("tree_sitter_python", "language", _PYTHON),
    "javascript": _Row("tree_sitter_javascript", "language", _JAVASCRIPT),
    "typescript": _Row("tree_sitter_typescript", "language_typescript", _TYPESCRIPT),
    "tsx": _Row("tree_sitter_typescript", "language_tsx", _TYPESCRIPT),
    "go": _Row("tree_sitter_go", "language", _GO),
    "rust": _Row("tree_sitter_rust", "language", _RUST),
    "java": _Row("tree_sitter_java", "language", _JAVA),
    "c": _Row("tree_sitter_c", "language", _C),
    "cpp": _Row("tree_sitter_cpp", "language", _CPP),
}
LANGUAGES = tuple(_ROWS)


class Grammar(NamedTuple):
    """What a parser needs for a language, and what finds its definitions."""

    language: Language
    query: Query


def language_of(path: str) -> str:
    """By the end of the name; "" for what is none of ours."""
    name = path.rpartition("/")[2]
    return BY_END.get(name[name.rfind(".") :].lower(), "") if "." in name else ""


@functools.cache
def grammar(language: str) -> Grammar:
    """Loaded once."""
    row = _ROWS[language]
    try:
        library, package = import_module("tree_sitter"), import_module(row.package)
    except ImportError:
        install = row.package.replace("_", "-")
        raise SteadError(
            "program_missing",
            f"the grammar of {language} is not installed in the workspace ({install}, or all with stead[toolbox])",
            program=install,
        ) from None
    found = library.Language(getattr(package, row.function)())
    return Grammar(found, library.Query(found, row.query))
