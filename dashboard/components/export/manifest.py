"""A manifest taken up again: its rule into the controls, and whether the same subset results."""

from __future__ import annotations

import streamlit as st

from dashboard import words
from dashboard.components.export.rule import controls_of, rule_of
from dashboard.data import complete_runs, switch_run
from lsi_engine.curation import CleanedSubset, CleaningRule
from lsi_engine.curation.manifest import LARGEST, Difference, Manifest, differences, read_manifest
from lsi_engine.errors import InputError
from lsi_engine.runs.store import Run

#: The open manifest as JSON, and what was wrong with the last file; kept over reruns, gone with the session.
_OPEN, _PROBLEM = "export_manifest", "export_manifest_problem"
#: Counted up to empty the field and to close what it is in: the file itself is not kept.
_TURN = "export_manifest_turn"


def open_manifest() -> None:
    """Offer to open a manifest; one that is read sets the rule's controls."""
    turn = st.session_state.setdefault(_TURN, 0)
    with st.popover("Open a manifest", icon=":material/upload_file:", key=f"manifest_open_{turn}"):
        st.caption(
            "An export in a JSON format, or the manifest.json of a folder: its rule goes into the controls, and the "
            "page says whether the same subset results."
        )
        st.file_uploader(
            "Manifest",
            type="json",
            key=f"export_manifest_file_{turn}",
            on_change=_take,
            args=(turn,),
            max_upload_size=LARGEST // 2**20,
            label_visibility="collapsed",
        )
    if problem := st.session_state.pop(_PROBLEM, None):
        st.error(words.markdown(problem))


def _take(turn: int) -> None:
    file = st.session_state.get(f"export_manifest_file_{turn}")
    if file is None:
        return
    try:
        manifest = read_manifest(file.getvalue(), words.shortened(file.name, 80))
    except InputError as error:
        st.session_state[_PROBLEM] = str(error)
    else:
        st.session_state[_OPEN] = manifest.model_dump_json()
        _follow(manifest.rule)
    st.session_state[_TURN] = turn + 1


def _follow(rule: CleaningRule) -> None:
    st.session_state.update(controls_of(rule))


def compare_manifest(run: Run, subset: CleanedSubset) -> None:
    """Say whether ``subset`` is the one that the open manifest was written for; nothing while none is open."""
    kept = st.session_state.get(_OPEN)
    if kept is None:
        return
    manifest = Manifest.model_validate_json(kept)
    found = differences(manifest, subset, run)
    if found:
        st.warning(_differing(manifest, found), icon=":material/difference:")
    elif manifest.kept is None:
        st.success("Same scores, same decisions, same rule as the manifest's; it does not say which samples it kept.")
    else:
        final = words.count(int(subset.counts()["final"].sum()))
        st.success(
            f"The same subset as the manifest's: same scores, same decisions, same rule, the same {final} "
            f"{'sample' if final == '1' else 'samples'} under the same labels (digest {manifest.kept[:12]}).",
            icon=":material/check_circle:",
        )
    with st.container(horizontal=True, gap="small", key="manifest_acts"):
        nearest = rule_of(controls_of(manifest.rule))
        if subset.rule != manifest.rule and subset.rule != nearest:
            st.button("Back to the manifest's rule", key="manifest_rule", on_click=_follow, args=(manifest.rule,))
        if manifest.run != run.name and manifest.run in complete_runs():
            name = words.markdown(words.shortened(manifest.run, 40))
            st.button(f"Open run {name}", key="manifest_run", on_click=switch_run, args=(manifest.run,))
        st.button("Close the manifest", key="manifest_close", type="tertiary", on_click=_close)


def _close() -> None:
    del st.session_state[_OPEN]


def _differing(manifest: Manifest, found: list[Difference]) -> str:
    """The differences as a Markdown list; every text in them comes from a file and is escaped."""
    lines = [f"- {words.markdown(one.what)}: {_cut(one.then)} in the manifest, {_cut(one.now)} here" for one in found]
    said = ["**Not the subset that the manifest was written for.**", "", *lines]
    shown = rule_of(controls_of(manifest.rule))
    beyond = [field for field in CleaningRule.model_fields if getattr(shown, field) != getattr(manifest.rule, field)]
    if beyond:
        named = ", ".join(field.replace("_", " ") for field in beyond)
        said += [
            "",
            f"The controls stand at the nearest they can show ({named}); `lsi export --like` takes it exactly.",
        ]
    return "\n".join(said)


def _cut(text: str) -> str:
    return words.markdown(words.shortened(text, 60))
