"""Run the setup.py of the current directory with a compiler that uses every core.

setuptools compiles the files of one extension one after the other; zeroc-ice is one extension of 224 files.
"""

import importlib
import os
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from types import MethodType
from typing import Any

build_ext: Any = importlib.import_module("setuptools.command.build_ext").build_ext
build_extensions = build_ext.build_extensions


def compile_in_parallel(
    self: Any,
    sources: list[str],
    output_dir: str | None = None,
    macros: Any = None,
    include_dirs: Any = None,
    debug: bool = False,
    extra_preargs: Any = None,
    extra_postargs: Any = None,
    depends: Any = None,
) -> list[str]:
    """Do what ``CCompiler.compile`` does, with a thread per core."""
    macros, objects, extra_postargs, preprocessor, build = self._setup_compile(
        output_dir, macros, include_dirs, sources, depends, extra_postargs
    )
    arguments = self._get_cc_args(preprocessor, debug, extra_preargs)

    def compile_one(name: str) -> None:
        if name in build:
            source, extension = build[name]
            self._compile(name, source, extension, arguments, extra_postargs, preprocessor)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, objects))
    return list(objects)


def build_extensions_in_parallel(self: Any) -> None:
    """Do what ``build_ext.build_extensions`` does, with :func:`compile_in_parallel`."""
    # Into the compiler at hand, not its class: setuptools loads the modules of compilers twice, under two names.
    self.compiler.compile = MethodType(compile_in_parallel, self.compiler)
    build_extensions(self)


build_ext.build_extensions = build_extensions_in_parallel
sys.argv[0] = "setup.py"
runpy.run_path("setup.py", run_name="__main__")
