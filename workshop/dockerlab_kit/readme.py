"""The page for participants in a kit."""

from __future__ import annotations

from typing import Any

from dockerlab.engine import versions

_PAGE = """\
# The lab, with no network

This folder has all that the lab would fetch: for **Linux on {arch}, Python {python}**, made {made}.

## Begin

```sh
tar -xzf lab.tar.gz -C ..            # the lab itself, beside this folder
cd ../dockerlab
make lab DOCKERLAB_KIT="$OLDPWD"     # checks each file here, then sets up the lab from it; opens JupyterLab
```

Moved into the lab's folder under the name `kit`, it is found without `DOCKERLAB_KIT`. You need `make` and
Python {python}; to have the engine brought, too, you need root on Debian {debian}. An engine of your own is used if
there is one.

## What is in it

| file | what |
|---|---|
| `SHA256SUMS` | the checksum of each file; `sha256sum --check SHA256SUMS` checks all of them |
| `lab.tar.gz` | the lessons and all their code |
| `base.tar.zst` | the base image `{tag}`, as `docker save` writes it |
| `wheels/` | Python packages: the lab's own, and those that lessons install in builds |
| `debs/` | Debian packages: the engine, what lessons install in builds, what the engine needs from the machine |

With a kit, `pip install` and `apt-get install` in a build take packages from here, and only from here: the lab puts
them into the base image. A package that no lesson names is not there.

## If a file is refused

The message names it. Download that file again, or run the line that your instructor shows once more: it fetches only
what is missing. Then run `make lab` again. Nothing is set up from a kit that is not whole.

## Not in it

{left_out}
"""


def page(about: dict[str, Any]) -> str:
    """The page, in Markdown, for a kit with this `kit.json`."""
    return _PAGE.format(
        arch=about["arch"],
        python=" or ".join(about["python"]),
        debian=" or ".join(map(str, versions.DEBIAN)),
        made=about["made"][:10],
        tag=about["base"]["tag"],
        left_out="\n".join(f"- {line}" for line in about["left_out"]),
    )
