"""Export: what a rule keeps, drops and relabels, before anything is written; then the file."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from dashboard import jobs, words
from dashboard.components import background, show
from dashboard.components.caveat import caveat
from dashboard.components.export.folder import export_folder
from dashboard.components.export.manifest import compare_manifest, open_manifest
from dashboard.components.export.rule import command, rule_controls
from dashboard.data import RunData, current_run, decisions
from lsi_engine.curation import FORMATS, CleanedSubset, CleaningRule, Decisions, clean, export_bytes, write_export
from lsi_engine.curation.export import SUFFIX, Format, needs_clusters
from lsi_engine.errors import InputError
from lsi_engine.runs.artefacts.duplicates import duplicate_clusters, duplicates_folder, stored_clusters
from lsi_engine.runs.store import RunStore

#: Among so many samples near-duplicates are found in a fraction of a second.
AT_ONCE = 3000
ABOUT: dict[Format, str] = {
    "csv": "A table for pandas and spreadsheets; provenance in the last column of its first row.",
    "json": "Provenance and one object a sample.",
    "parquet": "The same table, typed and small; provenance in the schema's metadata.",
    "indices": "Row numbers and final labels for torch.utils.data.Subset.",
    "cleanlab": "Every sample with is_label_issue and label_score, as cleanlab's Datalab gives them.",
    "coco": "Images, categories and one annotation an image.",
    "manifest": "Run, rule, decisions and a digest of what is kept: opened above, or given to lsi export --like, it "
    "makes the same subset again.",
}
MEDIA_TYPE: dict[Format, str] = {
    "csv": "text/csv",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "indices": "application/json",
    "cleanlab": "text/csv",
    "coco": "application/json",
    "manifest": "application/json",
}


def render() -> None:
    data = current_run()
    log = decisions(data)
    caveat(data)
    open_manifest()
    left, right = st.columns([2, 3], gap="small")
    with left, show.card("export_rule", "Rule", "Applies to the whole run; the filters above do not narrow an export."):
        rule = rule_controls(log.counts())
    waiting = needs_clusters(rule) and not _clusters_known(data)
    # Meanwhile the page counts what the rest of the rule does.
    counted = rule.model_copy(update={"deduplicate": False, "validation": 0, "test": 0}) if waiting else rule
    subset = _subset(data, log, counted)
    with right, show.card("export_counts", "What the file will hold"):
        if waiting:
            _clusters(data)
        else:
            compare_manifest(data.run, subset)
        _counts(data, subset)
    with show.card("export_file", "File"):
        if waiting:
            st.info("The file can be written once near-duplicates are known.")
        elif subset.empty:
            st.warning("This rule keeps no sample; loosen it.")
        else:
            _file(data, subset, rule)


def _clusters_known(data: RunData) -> bool:
    """Whether near-duplicates are there; those of a small run are found at once."""
    if stored_clusters(data.run) is not None:
        return True
    if len(data.frame) > AT_ONCE or background.is_going(duplicates_folder(data.run)):
        return False
    with suppress(InputError):  # the button tries again, and says why it cannot be done
        duplicate_clusters(data.run, RunStore().cache)
    return stored_clusters(data.run) is not None


def _clusters(data: RunData) -> None:
    """Find near-duplicates in the background: they take time in proportion to the samples squared."""
    folder = duplicates_folder(data.run)
    if background.is_going(folder):
        st.caption("Near-duplicates are being looked for; the counts below are those without that part of the rule.")
        background.watch(folder, "Near-duplicates", {"duplicates": "comparing every pair"}, "duplicates")
        return
    if ended := background.problem(folder):
        st.warning(words.markdown(ended))
    st.caption("Near-duplicates of this run have not been looked for yet: that is done once, in the background.")
    st.button("Look for near-duplicates", type="primary", on_click=jobs.start_duplicates, args=(data.run,))


def _subset(data: RunData, log: Decisions, rule: CleaningRule) -> CleanedSubset:
    clusters = needs_clusters(rule)
    return _cleaned(
        str(data.run.path), data.run.fingerprint, log.version(), rule.model_dump_json(), clusters, data, log
    )


@st.cache_resource(max_entries=8, show_spinner=False)
def _cleaned(
    folder: str, fingerprint: str, version: int, rule: str, clusters: bool, _data: RunData, _log: Decisions
) -> CleanedSubset:
    found = stored_clusters(_data.run) if clusters else None
    return clean(_data.frame, _log.latest(), CleaningRule.model_validate_json(rule), found)


def _counts(data: RunData, subset: CleanedSubset) -> None:
    counts = subset.counts()
    total = counts.sum()
    with st.container(horizontal=True, gap="medium", key="export_totals"):
        for name in ("kept", "relabelled", "dropped", "final"):
            st.metric("In the file" if name == "final" else name.capitalize(), words.count(int(total[name])))
    table = counts.reset_index().rename(
        columns={
            "class": "Class",
            "kept": "Kept",
            "relabelled": "Relabelled away",
            "dropped": "Dropped",
            "final": "In the file",
        }
    )
    st.dataframe(table, hide_index=True, height=min(460, 38 + 35 * len(table)))
    if subset.stale:
        st.warning(f"{len(subset.stale)} decisions were about another given label and are not applied.")
    if subset.unknown:
        st.warning(f"{len(subset.unknown)} decisions are about samples that this run does not have.")


def _file(data: RunData, subset: CleanedSubset, rule: CleaningRule) -> None:
    chosen: Format = (
        st.segmented_control(
            "Format", list(FORMATS), default="csv", required=True, key="export_format", bind="query-params"
        )
        or "csv"
    )
    st.caption(ABOUT[chosen])
    name = data.run.name + SUFFIX[chosen]
    target = RunStore().cache / "exports" / name
    made_of = (str(target), data.run.fingerprint, subset.decisions, rule)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.download_button(
            f"Download {words.markdown(name)}",
            # Called when the button is pressed: a million rows take seconds to write, and no change of the rule waits.
            lambda: export_bytes(subset, data.run, chosen),
            name,
            MEDIA_TYPE[chosen],
            icon=":material/download:",
            type="primary",
            key="export_download",
            on_click="ignore",
        )
        if st.button("Write to the exports folder", icon=":material/save:", key="export_write"):
            with st.spinner("Writing …"):
                write_export(subset, data.run, chosen, target)
            st.session_state["export_written"] = made_of
    if st.session_state.get("export_written") == made_of:
        st.success(f"Written: `{target}`")
    st.caption("The same bytes from the command line:")
    st.code(command(data.run.name, rule, chosen, target), language=None)
    if data.run.modality == "image":
        export_folder(data, subset)
