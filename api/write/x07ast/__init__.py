"""Modules of the x07 language as JSON: what is well-formed x07AST (contract, 4.6).

Pure functions of bytes; what a well-formed module must not do is in api/write/lint.py.
"""

from api.write.x07ast.expressions import Place, lists_in, render_place
from api.write.x07ast.module import Module, parse_module
from api.write.x07ast.node import Node, X07AstInvalid
from api.write.x07ast.signatures import Function
from api.write.x07ast.types import RAW_POINTERS, type_variables

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
