"""Definitions of each language, and code that is none."""

import pytest

from stead.toolbox.search.languages import LANGUAGES, language_of
from stead.toolbox.search.symbols import CONTAINERS, symbols

pytest.importorskip("tree_sitter", reason="the grammars are not installed (stead[toolbox])")

CASES = {
    "python": (
        "X = 1\nclass A(B):\n    y: int = 2\n    @property\n    def b(self):\n        def inner(): ...\nasync def f(): ...\n",
        ["variable X", "class A", "field A.y", "method A.b", "function A.b.inner", "function f"],
    ),
    "javascript": (
        "export const X = 1;\nexport class A { m() {} static s = () => 1 }\nfunction f() {}\nconst h = async () => {};\n",
        ["variable X", "class A", "method A.m", "method A.s", "function f", "function h"],
    ),
    "typescript": (
        (
            "export interface I { a(): void }\ntype T = string;\nenum E { A }\n"
            "abstract class C<T> { private x = () => 1; n() {} }\nnamespace N { export function q() {} }\n"
        ),
        [
            "interface I",
            "method I.a",
            "type T",
            "enum E",
            "class C",
            "method C.x",
            "method C.n",
            "module N",
            "function N.q",
        ],
    ),
    "tsx": ("export function App() { return <div/>; }\nconst B = () => <p/>;\n", ["function App", "function B"]),
    "go": (
        (
            "package a\nconst C = 1\nvar (\n  V = 2\n)\ntype S struct {}\ntype I interface { M() }\ntype F func(int)\n"
            "func (s *S) M() {}\nfunc (s S[T]) N() {}\nfunc f() {}\n"
        ),
        [
            *(
                "constant C",
                "variable V",
                "struct S",
                "interface I",
                "type F",
                "method S.M",
                "method S.N",
                "function f",
            ),
        ],
    ),
    "rust": (
        (
            "pub struct S;\nimpl<T> Tr for S<T> { fn k() {} }\ntrait Tr { fn k(); }\nenum E { A }\nmod m { fn inner() {} }\n"
            "const C: u8 = 1;\nmacro_rules! mm { () => {} }\n"
        ),
        [
            *("struct S", "method S.k", "trait Tr", "method Tr.k", "enum E", "module m", "function m.inner"),
            *("constant C", "macro mm"),
        ],
    ),
    "java": (
        "public class A {\n  static final int X = 1;\n  A() {}\n  void m() {}\n  enum E { ONE }\n  record R(int a) {}\n}\n",
        ["class A", "field A.X", "method A.A", "method A.m", "enum A.E", "constant A.E.ONE", "class A.R"],
    ),
    "c": (
        (
            "#define M 1\n#define MAX(a) a\nstruct s { int x; };\ntypedef int (*fn)(int);\nstatic int *f(int a) { return 0; }\n"
            "char *h(int);\nenum e { A };\n"
        ),
        ["macro M", "macro MAX", "struct s", "type fn", "function f", "function h", "enum e"],
    ),
    "cpp": (
        (
            "namespace n { class A { A(); ~A(); void m() const; bool operator==(const A&) const; }; }\n"
            "void n::A::m() const {}\ntemplate<class T> T f(T x) { return x; }\nusing U = int;\n"
        ),
        [
            *("module n", "class n.A", "method n.A.A", "method n.A.~A", "method n.A.m", "method n.A.operator=="),
            *("method n.A.m", "function f", "type U"),
        ],
    ),
}


def test_every_language_has_a_case() -> None:
    assert set(CASES) == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_definitions(language: str) -> None:
    code, expected = CASES[language]
    found = symbols(language, code.encode())
    assert [f"{each.kind} {each.container}{'.' if each.container else ''}{each.name}" for each in found] == expected
    for each in found:
        lines = code.split("\n")
        assert lines[each.line - 1][each.column - 1 :].startswith((each.name, "n::A::m"))
        assert each.line <= each.end_line <= len(lines)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_no_code_of_that_language(language: str) -> None:
    for content in (b"", b"\0\xff\xfe", b"((((" * 5000, b"class def function {{{ ;;", "\u00e9\u4e2d".encode() * 100):
        symbols(language, content)


@pytest.mark.parametrize(
    ("language", "nonsense"),
    [
        ("python", b"("),
        ("java", b"a<"),
        ("cpp", b"*"),
        ("rust", b"m!(+"),
        ("javascript", b"`${"),
        ("javascript", b"[1,2,"),
    ],
)
def test_nonsense_of_any_size_is_given_up(language: str, nonsense: bytes) -> None:
    """Some of it would take minutes, longer than a test may, and some gigabytes."""
    assert symbols(language, (nonsense * (1 << 19))[: 1 << 19]) == []


def test_much_that_makes_sense_is_read() -> None:
    code = b"class A { int f(int a) { return a < 1 ? 2 : (3 + a); } }\n" * 8000
    assert len(symbols("java", code)) == 16_000
    deep = symbols("javascript", b"function a(){" * 5000 + b"}" * 5000)
    assert (len(deep), max(len(each.container) for each in deep)) == (5000, 2 * CONTAINERS - 1)


def test_columns_are_characters() -> None:
    (found,) = symbols("javascript", "/* \u00e9\u00e9 */ function f() {}".encode())
    assert found.column == 19


def test_languages_go_by_the_ends_of_names() -> None:
    paths = ["a/b.py", "B.PY", "x.tsx", "x.d.ts", "Makefile", "py", ".py", "a.b/c", "x.h", "x.hpp"]
    expected = ["python", "python", "tsx", "typescript", "", "", "python", "", "c", "cpp"]
    assert [language_of(path) for path in paths] == expected
