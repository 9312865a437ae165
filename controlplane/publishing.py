"""The part of the control plane that publishes: shares out to VMs, away from them, repaired, and waited for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from controlplane.commands import Manner
from controlplane.convergence import goals_of
from controlplane.edits import Change, Details, build_publish, build_unpublish, parse_audience
from controlplane.expiring import Expiring
from controlplane.expiry import KEPT_S
from controlplane.projection import Members
from controlplane.records import CatalogSnapshot
from controlplane.refreshing import Refreshing
from controlplane.results import FanOut, OnProgress, Outcome
from controlplane.rollout import Pacing
from controlplane.unstored import send_unstored
from controlplane.wait import wait_for
from weft.wire.ids import parse_vm_id
from weft.wire.share import ShareMount


class Publishing(Refreshing, Expiring):
    """Publishing, unpublishing, repairing and waiting."""

    async def publish(
        self,
        shares: ShareMount | Sequence[ShareMount],
        *,
        classes: Iterable[str] = (),
        vms: Iterable[str] = (),
        except_vms: Iterable[str] = (),
        only: bool = False,
        disabled: bool = False,
        owner: str = "",
        tenant: str = "",
        description: str = "",
        labels: Mapping[str, str] | None = None,
        remote: str = "",
        pacing: Pacing | None = None,
        dry_run: bool = False,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        Create or replace shares, and fan them out.

        Args:
            shares: One or several, in one fan-out; ``{vm}`` in mount point, path or subdir is the VM's id.
            classes: Classes to add to the targets.
            vms: VMs to add to the targets.
            except_vms: VMs that must not get them.
            only: Replace the targets instead.
            disabled: Save, and mount nowhere.
            owner: Noted for finding; as it was where empty, like the next three.
            tenant: Noted for finding.
            description: Noted.
            labels: Noted for finding.
            remote: Remote of the catalog that completes their blocks.
            pacing: In which waves it goes out, None for everybody at once. This reaches only the first step:
                :meth:`drive_rollout`, or a watch, takes it from there.
            dry_run: Only say what would be done.
            assume_yes: Do not ask, even if many VMs lose something that was not named.
            on_progress: Told as messages are confirmed.

        Returns:
            What became of every VM; ``stored`` has what would be stored in a dry run.

        Raises:
            UnknownNameError: No such class.
            CatalogError: A new share without targets; a lost or older catalog; somebody must confirm.
            BrokerError: No JetStream, no stream, or the broker was lost before anything was published.
        """
        wanted = (shares,) if isinstance(shares, ShareMount) else tuple(shares)
        audience = parse_audience(classes=classes, vms=vms, except_vms=except_vms, only=only)
        details = Details(owner, tenant, description, labels, disabled, remote)
        author = self._author()

        def build(snapshot: CatalogSnapshot, members: Members) -> Change:
            return build_publish(snapshot, members, wanted, audience, details, author, pacing)

        manner = Manner(dry_run, assume_yes, on_progress)
        return await self._commands.perform(
            build,
            author,
            manner,
            about=[share.share_id for share in wanted],
            classes=audience.classes,
            named=audience.vms,
        )

    async def unpublish(
        self,
        share_id: str,
        *,
        classes: Iterable[str] = (),
        vms: Iterable[str] = (),
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        End a share; with *classes* or *vms* only there.

        Raises:
            UnknownNameError: No such share or class.
            CatalogError, BrokerError: As :meth:`publish`.
        """
        audience = parse_audience(classes=classes, vms=vms)
        author = self._author()

        def build(snapshot: CatalogSnapshot, members: Members) -> Change:
            return build_unpublish(snapshot, members, share_id, audience, author)

        manner = Manner(assume_yes=assume_yes, on_progress=on_progress)
        return await self._commands.perform(build, author, manner, name=share_id, classes=audience.classes)

    async def sync(
        self,
        *,
        vms: Iterable[str] | None = None,
        dry_run: bool = False,
        kept_s: float = KEPT_S,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        Compute every VM's list again and repair what differs, even a stream that lost everything.

        Args:
            vms: Only these.
            dry_run: Only say what would be done.
            kept_s: How long expired shares stay in the catalog, in seconds.
            assume_yes: Do not ask, even if many VMs lose something.
            on_progress: Told as messages are confirmed.

        Raises:
            CatalogError, BrokerError: As :meth:`publish`.
        """
        if vms is None and not dry_run:
            await self.drop_expired(kept_s=kept_s)
        chosen = None if vms is None else frozenset(parse_vm_id(vm) for vm in vms)
        return await self._commands.sync(chosen, self._author(), Manner(dry_run, assume_yes, on_progress))

    async def wait(
        self,
        what: FanOut | str,
        *,
        vms: Iterable[str] = (),
        classes: Iterable[str] = (),
        timeout_s: float = 60.0,
        on_progress: OnProgress | None = None,
    ) -> Outcome:
        """
        Wait until guests report what was published.

        Args:
            what: A fan-out, or the id of a share: until everybody has it.
            vms: Only these VMs.
            classes: Only members of these classes.
            timeout_s: Seconds after which whoever has not is listed.
            on_progress: Told as guests report.

        Returns:
            Who has it, who failed and why, who has not reported it; not converging is an outcome, not an error.

        Raises:
            UnknownNameError: No such share or class.
            BrokerError: The reports could not be read.
        """
        goals = goals_of(what) if isinstance(what, FanOut) else await self._goals_of_share(what)
        chosen = await self._chosen(classes, vms)
        if chosen is not None:
            goals = {vm: goal for vm, goal in goals.items() if vm in chosen}
        return await wait_for(self._link, goals, timeout_s=timeout_s, on_progress=on_progress)

    async def publish_unstored(self, share: ShareMount, vms: Iterable[str]) -> int:
        """
        Send one share to guests of a broker without JetStream; nothing is stored or confirmed.

        Returns:
            How many messages were sent.

        Raises:
            BrokerError: The broker has JetStream, so that publishing stores, or was lost.
        """
        return await send_unstored(self._link, share, [parse_vm_id(vm) for vm in vms])
