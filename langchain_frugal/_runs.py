"""A wrapper's own run: a *chain* run, under which its tiers are the *LLM* runs.

So callbacks, traces and token counters see each real call once, and nothing twice.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    BaseCallbackManager,
    CallbackManagerForChainRun,
    Callbacks,
)
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.runnables.config import (
    get_async_callback_manager_for_config,
    get_callback_manager_for_config,
    patch_config,
    var_child_runnable_config,
)

M = TypeVar("M", bound=BaseCallbackManager)


class Host(Protocol):
    """The wrapper, and what the user gave it for all its runs. Read anew for every run, since all of it may be assigned."""

    callbacks: Callbacks
    tags: list[str] | None
    metadata: dict[str, Any] | None
    rate_limiter: BaseRateLimiter | None

    def get_name(self) -> str:
        """Name of its runs."""


def start_run(
    host: Host, input: Any, config: RunnableConfig | None
) -> tuple[CallbackManagerForChainRun | None, RunnableConfig]:
    """Open a chain run.

    Returns:
        Its manager, to close it with, `None` when nobody listens; and the config for its children.
    """
    whole = ensure_config(config)
    manager = get_callback_manager_for_config(whole)
    if not manager.handlers and not host.callbacks:
        return None, _unheard(config, whole, host)
    config = whole
    _with_own(manager, host)
    name = config.get("run_name") or host.get_name()
    run = manager.on_chain_start(None, input, name=name, run_id=config.pop("run_id", None))
    return run, patch_config(config, callbacks=run.get_child())


async def astart_run(
    host: Host, input: Any, config: RunnableConfig | None
) -> tuple[AsyncCallbackManagerForChainRun | None, RunnableConfig]:
    """As `start_run`, awaiting the callbacks."""
    whole = ensure_config(config)
    manager = get_async_callback_manager_for_config(whole)
    if not manager.handlers and not host.callbacks:
        return None, _unheard(config, whole, host)
    config = whole
    _with_own(manager, host)
    name = config.get("run_name") or host.get_name()
    run = await manager.on_chain_start(None, input, name=name, run_id=config.pop("run_id", None))
    return run, patch_config(config, callbacks=run.get_child())


def own_config(config: RunnableConfig | None, host: Host) -> RunnableConfig:
    """A config that makes a helper of `Runnable` open such a run."""
    config = ensure_config(config)
    config["run_name"] = config.get("run_name") or host.get_name()
    if host.callbacks or host.tags or host.metadata:
        config["callbacks"] = _with_own(get_callback_manager_for_config(config), host)
    return config


def _unheard(given: RunnableConfig | None, config: RunnableConfig, host: Host) -> RunnableConfig:
    """Config for the tiers where nobody listens to the wrapper. A tier may have a listener of its own: tags and metadata stay.

    Name and id were the wrapper's run's, not its tiers'. Where nothing was given, nothing need be passed on.
    """
    metadata = {name: value for name, value in (host.metadata or {}).items() if name != "lc_versions"}
    if given is None and not metadata and not host.tags and var_child_runnable_config.get() is None:
        return {}
    config.pop("run_name", None)
    config.pop("run_id", None)
    if host.tags:
        config["tags"] = [*(config.get("tags") or ()), *host.tags]
    if metadata:
        config["metadata"] = {**(config.get("metadata") or {}), **metadata}
    return config


def _with_own(manager: M, host: Host) -> M:
    if host.callbacks:
        own = host.callbacks.handlers if isinstance(host.callbacks, BaseCallbackManager) else host.callbacks
        for handler in own:
            manager.add_handler(handler, inherit=True)
    if host.tags:
        manager.add_tags(host.tags, inherit=True)
    if host.metadata:
        manager.add_metadata(host.metadata, inherit=True)
    return manager
