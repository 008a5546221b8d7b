# SPDX-License-Identifier: Apache-2.0
"""For which devices a release is: the identifiers that images and manifests carry."""

import uuid
from typing import Final

VENDOR_ID: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "openami")
CLASS_ID: Final = uuid.uuid5(VENDOR_ID, "meter")
SW_TYPE: Final = "AMI-METER"
METROLOGY_CLASS_ID: Final = uuid.uuid5(VENDOR_ID, "metrology")
METROLOGY_SW_TYPE: Final = "AMI-MEASURE"
CONCENTRATOR_CLASS_ID: Final = uuid.uuid5(VENDOR_ID, "concentrator")
CONCENTRATOR_SW_TYPE: Final = "AMI-DC"
