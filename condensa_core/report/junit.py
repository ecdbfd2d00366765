"""The outcome as JUnit XML, so that any CI shows the constraint and every gate as a test case."""

from __future__ import annotations

from xml.etree import ElementTree

from condensa_core.report.outcome import Outcome
from condensa_core.report.xml_text import xml_text


def junit_xml(outcome: Outcome) -> str:
    """One case for the constraint and one per gate: failed where it is not met, skipped where it could not be judged.

    A run that failed has one more case, `run`, with an error; so has one whose bounds all hold and that still does not
    exit with 0, as a failure: whoever reads only this file must not see green.
    """
    suite = ElementTree.Element("testsuite", name=xml_text(f"condensa {outcome.name}".strip()))
    counts = {"failure": 0, "skipped": 0, "error": 0}

    def case(name: str, verdict: str | None, message: str) -> None:
        element = ElementTree.SubElement(suite, "testcase", classname="condensa", name=xml_text(name))
        if verdict is not None:
            counts[verdict] += 1
            ElementTree.SubElement(element, verdict, message=xml_text(message))

    if outcome.status == "failed":
        case("run", "error", "; ".join(outcome.reasons) or "the run failed")
    if outcome.constraint is not None:
        bound = outcome.constraint
        case(bound.text, _verdict(bound.met), f"value {bound.value}, limit {bound.limit}")
    for gate in outcome.gates:
        near = ", within noise" if gate.within_noise else ""
        case(gate.text, _verdict(gate.met), gate.reason or f"value {gate.value}, limit {gate.limit}{near}")
    if outcome.exit_code != 0 and counts["failure"] == counts["error"] == 0:
        case("run", "failure", "; ".join(outcome.reasons) or outcome.status)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(counts["failure"]))
    suite.set("skipped", str(counts["skipped"]))
    suite.set("errors", str(counts["error"]))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=False) + "\n"


def _verdict(met: bool | None) -> str | None:
    return {True: None, False: "failure", None: "skipped"}[met]
