"""Reads FHIR resources, one a line, and says of each whether it is valid."""

import json
import sys

from fhir.resources.R4B import get_fhir_model_class

for line in sys.stdin:
    resource = json.loads(line)
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        print("valid")
    except (ValueError, KeyError, LookupError, TypeError, AttributeError):
        print("refused")
