"""Parses x07AST, the JSON form of x07 modules, and checks that it is well-formed (contract, 4.6).

Pure functions of bytes. api/write/archive/lint_report.py decides what a well-formed module may do.
"""

from api.write.archive.x07ast.expressions import Place, lists_in, render_place
from api.write.archive.x07ast.module import Module, parse_module
from api.write.archive.x07ast.node import Node, X07AstInvalid
from api.write.archive.x07ast.signatures import Function
from api.write.archive.x07ast.types import RAW_POINTERS, type_variables

__all__ = [
    "RAW_POINTERS",
    "Function",
    "Module",
    "Node",
    "Place",
    "X07AstInvalid",
    "lists_in",
    "parse_module",
    "render_place",
    "type_variables",
]
