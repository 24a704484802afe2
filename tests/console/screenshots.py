"""Takes the pictures of the console that the README shows: `make screenshots`."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import stepstub  # noqa: E402
from chromium import chromium  # noqa: E402
from console_support import CONSOLE, DEFAULT, complete  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1280, "height": 720}
PARCEL = {"carrier": {"strValue": "Parcel Post", "type": "STRING"}}


def fill(sandbox: stepstub.Sandbox) -> None:
    """A morning's work of a client that does not get everything right."""
    sandbox.start_process("last-step")
    sandbox.start_process(
        [{"id": f"loan-7-{name}", "timeOutInSeconds": 300} for name in ("check", "sign", "pay")],
        id="loan-7",
    )
    sandbox.start_process([{"id": f"claim-3-{n:02}"} for n in range(1, 13)], id="claim-3")
    for number in range(1, 6):
        complete(sandbox, f"claim-3-{number:02}")
    complete(sandbox, "claim-3-08")
    complete(sandbox, "invoice-1-archive")
    complete(sandbox, "loan-7-check", params={"amount": {"longValue": "1250", "type": "LONG"}})
    complete(sandbox, "loan-7-check", params={"amount": {"longValue": 1250, "type": "LONG"}})
    sandbox.fault("before", status=503)
    complete(sandbox, "claim-3-06")
    complete(sandbox, "claim-3-06")
    complete(sandbox, "oder-1-approve")
    sandbox.fault("after", "disconnect")
    complete(sandbox, "order-1-approve", params=PARCEL)
    complete(sandbox, "order-1-approve", params=PARCEL)
    complete(sandbox, "claim-3-07")
    sandbox.fault("before", "delay", seconds=3, times=2)


def _shrink(file: Path) -> None:
    """Fewer colours make a picture of text a third as large, and nobody sees it."""
    tool = shutil.which("pngquant")
    if tool is None:
        print("Without pngquant the pictures are large.", file=sys.stderr)
        return
    subprocess.run([tool, "--force", "--strip", "--output", file, "128", "--", file], check=True)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with stepstub.LiveServer("two-steps") as server, chromium() as browser:
        sandbox = server.default_sandbox()
        fill(sandbox)
        refused = sandbox.journal(step_id="order-1-approve", status=412)[0].number
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport=SIZE, color_scheme=scheme)
            page = context.new_page()
            for name, path in (("list", DEFAULT), ("exchange", f"{DEFAULT}/exchanges/{refused}")):
                page.goto(server.url + CONSOLE + path)
                page.locator("#state", has_text="Live").wait_for()
                file = IMAGES / f"console-{name}-{scheme}.png"
                page.screenshot(path=file)
                _shrink(file)
                print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1024} KiB")
            context.close()


if __name__ == "__main__":
    main()
