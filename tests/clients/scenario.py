"""Uses the emulator through the Azure SDK for Python, unmodified and configured as in Azure.

The environment is what `keyside-emulator env` prints, and SCENARIO_FOLDER with client.pem (key and certificate of the
application), pipeline.jwt and stranger.jwt (projected tokens of two service accounts).
"""

import sys

import arm
import identities
import report
import vault

if __name__ == "__main__":
    sys.exit(0 if report.run(identities.STEPS + vault.STEPS + arm.STEPS) else 1)
