"""What is trained, and how: one file a method. Nothing here imports torch until a hook runs."""

from typing import TYPE_CHECKING

from bench import spec
from bench.registry import Registry

if TYPE_CHECKING:
    from methods.base import Method

method = Registry("method", "methods")
alias = Registry("method", "methods")  # functions: a model's name -> the text of a method


def resolve(text: str, model: str) -> "Method":
    """The method that `text` names for `model`; options given to an alias override what it says.

    Raises ValueError naming what is wrong with the text, and the nearest valid choice.
    """
    name, options = spec.parse(text)
    if name in alias.names():
        stands_for, preset = spec.parse(alias[name](model))
        return spec.construct(method[stands_for], {**preset, **options})
    if name not in method.names():
        raise method.missing(name, [*method.names(), *alias.names()])
    return spec.construct(method[name], options)
