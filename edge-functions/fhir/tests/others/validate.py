"""Reads FHIR resources, one a line, and says of each what is wrong with it; an empty line: nothing."""

import json
import sys

from fhir.resources.R4B import get_fhir_model_class

for line in sys.stdin:
    resource = json.loads(line)
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        print()
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        print(" ".join(str(error).split())[:300] or "refused")
