"""JupyterHub for a room: each learner gets a container of their own, and in it an engine of their own.

What may differ from room to room is set by variables, all of which begin with ``DOCKERLAB_HUB_``: see README.md.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import room

c = get_config()  # noqa: F821 (JupyterHub defines it)
settings = room.settings()
engine = room.engine_environment()
os.environ.update(engine)  # DockerSpawner finds the engine as the docker SDK does
network = room.network()

# --- the hub: everyone comes in at one address ------------------------------------------------------------------------

c.JupyterHub.bind_url = settings.url
if settings.certificates:
    c.JupyterHub.ssl_cert = str(settings.certificates / "cert.pem")
    c.JupyterHub.ssl_key = str(settings.certificates / "key.pem")
c.JupyterHub.db_url = f"sqlite:///{settings.state / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(settings.state / "cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(settings.state / "proxy.pid")
c.ConfigurableHTTPProxy.command = room.proxy_command()
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings.proxy_port}"
# Learners' servers ask the hub who comes: they reach it at this machine's address in their network.
c.JupyterHub.hub_ip = network.gateway
c.JupyterHub.hub_port = settings.hub_port
c.JupyterHub.active_server_limit = settings.seats
c.JupyterHub.concurrent_spawn_limit = 5

# --- who may come in --------------------------------------------------------------------------------------------------

c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = settings.password
c.Authenticator.allowed_users = set(settings.learners)
c.Authenticator.allow_all = not settings.learners
c.Authenticator.username_pattern = "[a-z][a-z0-9-]{0,30}"

# --- what a learner gets ----------------------------------------------------------------------------------------------

c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = room.IMAGE
c.DockerSpawner.pull_policy = "never"  # it is built on this machine
c.DockerSpawner.prefix = "dockerlab-hub"
c.DockerSpawner.network_name = network.name
c.DockerSpawner.volumes = {room.VOLUME: room.FOLDER}
c.DockerSpawner.notebook_dir = room.WORKSPACE
c.DockerSpawner.default_url = "/lab/tree/00_start_here.ipynb"
c.DockerSpawner.mem_limit = settings.memory
c.DockerSpawner.cpu_limit = settings.cpus
c.DockerSpawner.extra_create_kwargs = {"labels": room.labels_of("server")}
# An engine in a container needs a privileged one. Whoever uses it is as good as root on this machine: see README.md.
c.DockerSpawner.extra_host_config = {"privileged": True, "init": True, "pids_limit": settings.processes}
c.DockerSpawner.remove = True  # with its nameless volume, the engine's data; the learner's files have a name
c.DockerSpawner.start_timeout = 180
c.DockerSpawner.http_timeout = 180


async def own_volume(spawner):
    """Create the volume of the learner's files before DockerSpawner does, for it would have no labels."""
    name = spawner.format_volume_name(room.VOLUME, spawner)
    await spawner.docker("create_volume", name, labels=room.labels_of("files"))


c.Spawner.pre_spawn_hook = own_volume

# --- servers that nobody uses are stopped -----------------------------------------------------------------------------

if settings.idle_minutes:
    c.JupyterHub.load_roles = [
        {
            "name": "idle-culler",
            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
            "services": ["idle-culler"],
        }
    ]
    c.JupyterHub.services = [
        {
            "name": "idle-culler",
            "command": [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={settings.idle_minutes * 60}"],
        }
    ]
