"""Networks of a lab, and where its containers are on them."""

from __future__ import annotations

from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network

from ..engine import engine_errors
from ..errors import LabError
from ..lab.lab import Lab
from ..run.container import errors_explained


def network(lab: Lab, name: str, *, internal: bool = False) -> Network:
    """Make a network. The engine picks its addresses, so that no two learners' networks overlap.

    Args:
        lab: what the network belongs to.
        name: its short name.
        internal: whether it is without a way out.

    Raises:
        LabError: a network of that name is there already, or the engine has no addresses left.
    """
    try:
        with errors_explained(lab, name):
            made = lab.client.networks.create(
                lab.name(name), driver="bridge", check_duplicate=True, internal=internal, labels=lab.labels
            )
            made.reload()  # now its subnet is known
            return made
    except APIError as error:
        words = engine_errors.words(error)
        seen, do = f"The engine would not make the network {name!r}: {words}.", "Look at what it says."
        if "already exists" in words:
            seen = f"The engine has a network with the name {lab.name(name)} already."
            do = "Choose another name, or remove that network first: `docker network rm`."
        elif "address pool" in words:
            seen = f"The engine has no addresses left for another network ({words})."
            do = "Look at `docker network ls`; `dockerlab clean` removes those that the laboratory made."
        raise LabError(seen, do) from error


def subnet(network: Network) -> str:
    """The addresses of a network, as a CIDR: ``172.19.0.0/16``."""
    return next(str(item["Subnet"]) for item in network.attrs["IPAM"]["Config"] if ":" not in item["Subnet"])


def address(container: Container, network: Network) -> str:
    """The address that a container has on one of its networks, or "" where it has none there."""
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"].get(network.name, {}).get("IPAddress", ""))


def published(container: Container, port: int) -> int | None:
    """The port of this machine at which a container's port is published, or None where it is not, or does not run."""
    container.reload()
    bindings = container.attrs["NetworkSettings"]["Ports"].get(f"{port}/tcp")
    return int(bindings[0]["HostPort"]) if bindings else None
