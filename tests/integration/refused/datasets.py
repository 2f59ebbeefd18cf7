"""Datasets that must be refused."""

from __future__ import annotations

from tests.integration.refused.case import HEX, Refused

DATASETS = (
    Refused(what="an unknown type", change={"type": "songs"}, field="spec.type", right='"tabular"'),
    Refused(what="an unknown format", change={"format": "xlsx"}, field="spec.format", right='"parquet"'),
    Refused(
        what="a type that the format does not fit",
        change={"type": "object_detection"},
        field="spec.format",
        right="csv and parquet go with type tabular",
    ),
    Refused(
        what="two sources",
        change={"source": {"uri": "pvc://data/x", "upload": {}}},
        field="spec.source",
        right="exactly one of uri, files and upload",
    ),
    Refused(
        what="an empty source", change={"source": {"uri": None}}, field="spec.source", right="exactly one of"
    ),
    Refused(
        what="a folder that climbs",
        change={"source": {"uri": "pvc://data/../other"}},
        field="spec.source",
        right="cannot climb out with '..'",
    ),
    Refused(
        what="a path on the node",
        change={"source": {"uri": "/etc"}},
        field="spec.source.uri",
        right="pvc://, s3://",
    ),
    Refused(
        what="a claim's name in capitals",
        change={"source": {"uri": "pvc://Data"}},
        field="spec.source",
        right="pvc://<claim>/<folder>",
    ),
    Refused(
        what="a file that climbs",
        change={"source": {"uri": None, "files": [{"url": "https://example.com/x", "path": "../x"}]}},
        field="spec.source",
        right="cannot climb out with '..'",
    ),
    Refused(
        what="a password for a bucket",
        change={"source": {"uri": "s3://AKIAEXAMPLE:secret@bucket/x"}},
        field="spec.source.uri",
        right="user and password belong into a Secret",
    ),
    Refused(
        what="a DICOMweb server",
        change={"source": {"uri": "dicomweb://pacs.example.com/studies"}},
        field="spec.source.uri",
        right="a DICOMweb server is not read: copy its studies",
    ),
    Refused(what="no version", change={"version": ""}, field="spec.version", right="at least 1 char"),
    Refused(
        what="a schedule of words",
        change={"refresh": {"schedule": "a b c d e"}},
        field="spec.refresh.schedule",
        right="cron schedule of five fields",
    ),
    Refused(
        what="a digest in capitals",
        change={"source": {"uri": "https://example.com/x", "sha256": "A" * 64}},
        field="spec.source.sha256",
        right=HEX,
    ),
    Refused(
        what="a name of 400 characters", name="n" * 400, change={}, field="metadata.name", right="at most 35"
    ),
    Refused(
        what="a display name without end",
        change={"displayName": "n" * 501},
        field="spec.displayName",
        right="may not be more than 500",
    ),
    Refused(
        what="a cache of no size at all",
        change={"cache": {"mode": "None", "size": "1Gi"}},
        field="spec.cache",
        right="go with mode Volume",
    ),
    Refused(
        what="no schedule",
        change={"refresh": {"schedule": ""}},
        field="spec.refresh.schedule",
        right="cron schedule of five fields",
    ),
)
