"""The tool that counts the detector's boxes. It sees no pixels itself."""

from collections import Counter

from videoespresso.tools.base import Finding, Needs, ToolRequest


class Count:
    """How many of each object are on each core frame, by the boxes grounding left there.

    A frame without boxes gives no finding: nothing detected is not the same as nothing there.
    """

    name = "count"
    description = "Counts the detected objects on each core frame, by label."
    needs: Needs = "frames"

    def run(self, request: ToolRequest) -> list[Finding]:
        """One finding a frame, e.g. "Detected: 1 dog, 2 car.", with the boxes counted."""
        findings = []
        for core in request.frames:
            counts = Counter(box.label for box in core.boxes)
            if counts:
                listed = ", ".join(f"{n} {label}" for label, n in sorted(counts.items()))
                findings.append(
                    Finding(
                        text=f"Detected: {listed}.",
                        time_s=core.frame.time_s,
                        frame_id=core.frame.id,
                        boxes=core.boxes,
                    )
                )
        return findings
