"""What is to be scored, on the form that starts a run: the fields of each kind of source."""

from __future__ import annotations

from typing import Any, cast

import streamlit as st

from dashboard.run_request import BUNDLED, PATHS, SPLITS, TEXTS, WITH_FEATURES, Kind
from lsi_engine.samples.sample_set import Modality


def source_kind() -> Kind:
    """What the reader wants to score; outside the form, since it decides the fields."""
    groups = {"images": "Image folder", "published": "Published set", "texts": "Texts", "pairs": "Image–caption pairs"}
    groups |= {"table": "Table", "features": "Feature file", "digits": "Digits"}
    group = st.segmented_control(
        "Source", list(groups), format_func=lambda key: groups[key], default="images", required=True, key="new_kind"
    )
    if group == "published":
        names = {"pneumonia": "Pediatric pneumonia", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
        names |= {"imagenette": "Imagenette", "imagewoof": "Imagewoof"}
        return cast(Kind, st.selectbox("Dataset", list(names), format_func=lambda key: names[key], key="new_dataset"))
    if group == "images" and st.toggle("DICOM files", key="new_dicom"):
        return "dicom"
    if group == "texts" and st.toggle("Synthetic demo messages", key="new_demo_texts"):
        return "demo-texts"
    if group == "table" and st.toggle("scikit-learn's breast-cancer data", key="new_breast_cancer"):
        return "breast-cancer"
    return cast(Kind, group)


def modality_of(kind: Kind) -> Modality:
    if kind == "pairs":
        return "pairs"
    return "text" if kind in TEXTS else "features" if kind in WITH_FEATURES else "image"


def source_fields(kind: Kind) -> dict[str, Any]:
    """The fields of one kind of source, and what is filled in."""
    if kind == "features":
        path = st.text_input(
            "Feature file",
            placeholder="features.npz",
            help=".npz with `features` and `labels`; .npy with X.labels.npy beside X.npy; or .parquet",
        )
        images = st.text_input(
            "Pictures",
            placeholder="/data/cifar-10-batches-py",
            help="Optional, to look at: row i has the i-th picture of this folder (images, or CIFAR batches); or, "
            "where the file names them in `image_path` (`.npz`: `image_paths`), the folder that those paths begin in",
        )
        class_names = st.text_input(
            "Class names",
            placeholder="airplane, automobile, bird",
            help="Optional, where labels are the numbers 0, 1, …: what these classes are called, in that order, or a "
            "text file of a name a line",
        )
        return {"path": path, "images": images, "class_names": class_names}
    if kind in TEXTS or kind == "table":
        return _text_fields(kind)
    if kind == "pairs":
        return _image_fields(kind) | _pair_fields()
    return {} if kind in BUNDLED else _image_fields(kind)


def _image_fields(kind: Kind) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "path": st.text_input(PATHS[kind], placeholder="/data/films", help="On the machine of this dashboard")
    }
    if kind in SPLITS:
        fields["split"] = st.selectbox("Split", SPLITS[kind], help="One at a time: splits are never mixed")
    left, right = st.columns(2)
    with left:
        fields["backbone"] = st.selectbox(
            "Backbone",
            ["resnet18", "resnet50", "squeezenet1_1", "vit_b_16", "convnext_tiny", "pixels"],
            accept_new_options=True,
            help="Any torchvision classification model by name, frozen; `pixels` for tiny images",
        )
    with right:
        fields["weights"] = st.text_input(
            "Weights", value="default", help="`default` downloads torchvision's; or the path of a local file"
        )
    if kind == "images":
        with st.expander("Labels from file names or a table"):
            st.caption("Without these, an image's label is the name of its folder.")
            fields["label_pattern"] = st.text_input("Label pattern", placeholder="(bacteria|virus)")
            fields["label_default"] = st.text_input("Label where the pattern does not match", placeholder="normal")
            fields["group_pattern"] = st.text_input("Group pattern (patient)", placeholder=r"(person\d+)")
            fields["labels_csv"] = st.text_input("CSV of path,label[,split,group]")
    elif kind == "dicom":
        with st.expander("Labels from a header field or a table"):
            st.caption("Without these, an image's label is the name of its folder. Patients are grouped by themselves.")
            fields["label_field"] = st.text_input("Header field of the label", placeholder="ViewPosition")
            fields["labels_csv"] = st.text_input("CSV of path,label[,split,group]")
    return fields


def _pair_fields() -> dict[str, Any]:
    left, right = st.columns(2)
    with left:
        images = st.text_input("Folder of images", placeholder="/data/coco/val2017", key="pair_images")
        encoder = st.selectbox("Text encoder", ["minilm", "tfidf", "bert-base-uncased"], accept_new_options=True)
    with right:
        captions = st.selectbox("Captions of an image", ["all", "first"], help="A pair for each, or for the first only")
        instances = st.text_input("COCO's instances_*.json", help="Optional: labels pairs by what the image shows")
    return {"images": images, "encoder": encoder, "captions": captions, "instances": instances}


def _text_fields(kind: Kind) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if kind in PATHS:
        fields["path"] = st.text_input(
            PATHS[kind],
            placeholder="/data/reviews.csv",
            help="CSV, TSV, JSONL or Parquet"
            + ("; or a folder: one of .txt files a class, or a Hugging Face dataset" if kind == "texts" else ""),
        )
    if kind in TEXTS:
        left, right = st.columns(2)
        with left:
            fields["encoder"] = st.selectbox(
                "Encoder",
                ["tfidf", "minilm", "bert-base-uncased"],
                accept_new_options=True,
                help="`tfidf` needs no weights; `minilm` is a package of its own; or any transformers encoder: its "
                "name, or the path of a local folder",
            )
        with right:
            fields["pooling"] = st.selectbox("Pooling", ["mean", "cls"], help="Of an encoder's token states")
    if kind in PATHS:
        with st.expander("Columns and splits"):
            st.caption("Left empty, columns with usual names are taken; what cannot be told is asked for.")
            fields["label_column"] = st.text_input("Label column", placeholder="label")
            if kind == "texts":
                fields["text_column"] = st.text_input("Text column", placeholder="text")
                fields["split"] = st.text_input("Split", placeholder="train")
    return fields
