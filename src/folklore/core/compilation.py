"""Functions that are written as vector code (`folklore.core.machine_code`), compiled by LLVM at first use."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import llvmlite
from llvmlite import binding, ir

from folklore.core import object_code, processor
from folklore.core.machine_code import INTEGER, Code, new_code

_engines: list[Any] = []  # compiled code lives as long as they do
_LEVEL = 2  # of LLVM's optimisation
_UNROLLS = False  # two steps of a tile at once would not fit the registers


@dataclass(frozen=True)
class Compiled:
    """A function of whole numbers: `call` from Python, or by its address from other code."""

    address: int
    arguments: int
    call: Callable[..., None] = field(compare=False)


def compiled(write: Callable[[Code, Sequence[ir.Value]], None], arguments: int) -> Compiled:
    """A function of that many whole numbers, whose body `write` writes."""

    def text() -> str:
        code = new_code(arguments)
        write(code, code.builder.function.args)
        code.builder.ret_void()
        return str(code.builder.module)

    recipe = object_code.recipe(write)
    address = _machine_code(f"{recipe} {arguments}" if recipe else text(), text)
    return Compiled(address, arguments, ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(address))


def over_runs(*parts: Compiled) -> Callable[..., None]:
    """A function of the number of runs, then each part's arguments but its first, which is the number of a run.

    For every run it calls the parts one after the other, so that the run's matrices stay in the cache.
    """
    run = _runner(tuple(part.arguments for part in parts)).call
    addresses = [part.address for part in parts]
    return lambda runs, *arguments: run(runs, *addresses, *arguments)


@cache
def _runner(arguments: tuple[int, ...]) -> Compiled:
    """Of the number of runs, the addresses of functions of so many arguments, and these but the first, function by function.

    Addresses are given, not written into the code: they are others in every process.
    """

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        runs, *rest = given
        addresses, rest = rest[: len(arguments)], rest[len(arguments) :]
        with code.counting(code.int(0), runs, 1) as run:
            for address, count in zip(addresses, arguments, strict=True):
                own, rest = rest[: count - 1], rest[count - 1 :]
                code.call(address, [run, *own])

    return compiled(write, 1 + sum(arguments))


@cache
def of_list(arguments: int) -> Compiled:
    """Of the address of a function of so many arguments, and that of a list of them."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        function, first = given
        places = (code.at(first, code.int(INTEGER * i)) for i in range(arguments))
        code.call(function, [code.integer(place) for place in places])

    return compiled(write, 2)


def _machine_code(identity: str, text: Callable[[], str]) -> int:
    """The address of the compiled function. The text, which takes longer to write than to read what was made of it, is asked for only then."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    cpu, features = processor.host()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=cpu, features=features, opt=_LEVEL
    )
    made_by = f"llvmlite {llvmlite.__version__}, level {_LEVEL}, unrolls {_UNROLLS}, {cpu}, {features}"
    found = object_code.kept(f"{made_by}\n{identity}", lambda: _object_file(text(), machine))
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(found))
    engine.finalize_object()
    _engines.append(engine)
    return engine.get_function_address("written")


def _object_file(text: str, machine: Any) -> bytes:
    module = binding.parse_assembly(text)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    tuning = binding.create_pipeline_tuning_options(speed_level=_LEVEL)
    tuning.loop_unrolling = _UNROLLS
    passes = binding.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(module, passes)
    return machine.emit_object(module)
