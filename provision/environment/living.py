"""The life of an environment: it comes up, runs, is stopped, started, mended and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.common.arguments import Texts, one_text, several
from provision.common.patience import Patience
from provision.common.values import replace
from provision.environment.inside import InsideKafka
from provision.environment.looking import WAIT_S
from provision.errors import UsageError
from provision.events import silent
from provision.kafka.levels import required

if TYPE_CHECKING:
    from provision.observe.readiness import Assessment
    from provision.operations.doctor.examine import Choose, Diagnosis
    from provision.pipeline import UpOptions, UpResult
    from provision.plan.observed import ObservedEnvironment
    from provision.resources.rounds import Agree
    from provision.runtime.base import Streams
    from provision.software.pinning import Pinned
    from provision.warming import Warmed


class Living(InsideKafka):
    """The part of `Environment` that changes its nodes, and prepares what they run."""

    def up(self, options: UpOptions | None = None, *, agree: Agree | None = None) -> UpResult:
        """Create the environment or update it to match the file, and wait until it is ready.

        Args:
            options: the level to reach and the time limit; by default until every topic is in sync.
            agree: called with each plan before it is carried out; raises to stop it. By default every plan is accepted.

        Raises:
            Busy: another command is changing it.
            Refused: the change would lose data or availability; nothing was changed.
            ProvisionError: anything else; a first `up` has removed what it created, unless `retain` is set.
        """
        from provision import pipeline
        from provision.operations import trainers
        from provision.operations.files import require_nodes
        from provision.operations.whose import named_owner
        from provision.resources.rounds import accept_all

        chosen, agree = pipeline.UpOptions() if options is None else options, agree or accept_all
        if not isinstance(chosen, pipeline.UpOptions):
            raise UsageError(f"the options of up are UpOptions, not {options!r}")
        required(chosen.until)
        require_nodes(self.source.require_valid(self._tell))  # what is wrong with the file comes before the lock
        before_undoing = chosen.before_undoing

        def undoing() -> None:
            self._kind = None  # it is where it was made, and not where it was looked for before
            before_undoing()

        chosen = replace(chosen, take_over=chosen.take_over or self.take_over, before_undoing=undoing)
        owned = chosen.owner_pid is not None or chosen.owner or named_owner()
        with self._changing("up", options=self._source.overridden) as change:
            try:
                result = pipeline.up(self.source, self._runtimes, chosen, agree=agree, change=change)
            finally:
                self._kind = None  # it may have moved to another runtime
            if result.cold and chosen.warm and not owned and trainers.could_begin(self.source):
                trainers.begin(self.home, self.source, self.runtime, change.tell)
            return result

    def down(
        self,
        *,
        keep_data: bool = False,
        delete_data: bool = False,
        force: bool = False,
        seen: ObservedEnvironment | None = None,
    ) -> int:
        """Remove everything that `up` created; returns how many things were removed.

        Data in a user's directory are kept unless `delete_data`; `keep_data` keeps all data for a later `up`. With
        `force`, a command that is changing the environment is made to end first. `seen` is the environment that is
        meant, as it was observed before: another one, which has been made or taken over since, is left.

        Raises:
            Busy: another command is changing it.
            Refused: it was made from another file, or is not the one that is meant any more.
        """
        from provision.operations.remove import down
        from provision.operations.whose import require_same

        data = {"keep_data": keep_data, "delete_data": delete_data}
        options = [f"--{word.replace('_', '-')}" for word, is_said in data.items() if is_said]
        with self._changed("down", options=options, force=force) as tell:
            if seen:
                require_same(seen, self.runtime.observe(self.name))
            return down(self.runtime, self.name, self.home, **data, tell=tell, elsewhere=self._runtimes.elsewhere)

    def stop(self, nodes: Texts = ()) -> int:
        """Stop the named nodes, or all, cleanly; their data are kept. Returns how many were running."""
        from provision.operations.life import stop

        chosen = several(nodes, "names of nodes")
        with self._changed("stop", options=chosen) as tell:
            return stop(self.runtime, self.name, chosen, tell)

    def kill(self, nodes: Texts = (), *, unregister: bool = False) -> int:
        """Kill the named nodes, or all, at once (SIGKILL), whatever is lost. Returns how many were running.

        A cluster takes a killed broker for dead when its session expires, and lets it register again only then. With
        `unregister`, the controllers of a KRaft cluster are told at once instead, if a majority of them is left.
        """
        from provision.operations.life import kill

        chosen = several(nodes, "names of nodes")
        with self._changed("kill", options=chosen) as tell:
            return kill(self.runtime, self.name, chosen, tell, unregister=unregister)

    def start(self, nodes: Texts = (), *, timeout_s: float = WAIT_S) -> Assessment:
        """Start the named nodes, or all, and wait until they are ready."""
        from provision.operations.life import start

        chosen = several(nodes, "names of nodes")
        with self._changed("start", options=chosen) as tell:
            return start(self.runtime, self.name, chosen, Patience(timeout_s), tell)

    def restart(self, nodes: Texts = (), *, timeout_s: float = WAIT_S) -> tuple[str, ...]:
        """Restart the named nodes, or all, one at a time, each only while the cluster can do without it.

        Returns their names, in that order.
        """
        from provision.operations.life import restart_rolling

        chosen = several(nodes, "names of nodes")
        with self._changed("restart", options=["--rolling", *chosen]) as tell:
            return restart_rolling(self.runtime, self.name, chosen, Patience(timeout_s), tell)

    def mend(self, choose: Choose) -> Diagnosis:
        """Carry out the safe repairs that `choose` accepts, and examine it again.

        Raises:
            Busy: another command is changing it.
            Refused: the environment was made from another file.
        """
        from provision.operations.doctor.examine import mend

        def allowed() -> None:
            self._require_same_file(tell=silent)  # why it is allowed is told once, when it begins

        changing = self._changed("doctor --fix")
        return mend(self._source, self._runtimes, allowed=allowed, choose=choose, changing=changing)[0]

    def tool(self, name: str, arguments: Texts, streams: Streams) -> int:
        """Run one of Kafka's own tools inside the environment, with these streams; returns its exit code.

        Raises:
            UsageError: this version of Kafka has no such tool, or one of the streams cannot be used.
            Refused: the environment was made from another file. What a tool does is known to nobody but the tool.
        """
        from provision.operations.tools import run_tool
        from provision.runtime.base import Streams

        one_text(name, "a tool")
        if not isinstance(streams, Streams):
            raise UsageError(f"the streams of a tool are Streams, not {streams!r}")
        chosen = several(arguments, "arguments")
        self._require_own()
        streams.require_usable()
        return run_tool(self.runtime, self.name, name, chosen, streams, user=self.user, listener=self.listener)

    def warm(self, *, timeout_s: float = WAIT_S, when_idle: bool = False) -> tuple[Warmed, ...]:
        """Train the archives with which its nodes start faster, where they are missing; the environment is left alone.

        With `when_idle`, this whole process has only what others leave from then on: it waits until the machine has
        little else to do, and gives up, and returns nothing, if that does not come soon, or the environment is removed.

        Raises:
            UsageError: it is not up (only with `when_idle`).
            Unavailable: its Java is too old for archives.
            ProvisionError: the training failed; nothing is left of it.
        """
        from provision.warming import warm, warm_when_idle

        if when_idle:
            return warm_when_idle(self.source, self._runtimes, self.runtime, timeout_s=timeout_s, tell=self._tell)
        return warm(self.source, self._runtimes, timeout_s=timeout_s, tell=self._tell)

    def lock(self, *, check: bool = False) -> Pinned:
        """Record its images and jars in a lock next to its file; `check` only compares, and refuses a difference."""
        from provision.software import pinning

        return (pinning.check if check else pinning.pin)(self.source, self._runtimes, self._tell)
