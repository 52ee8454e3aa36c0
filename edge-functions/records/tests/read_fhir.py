"""Reads FHIR resources, one a line, and says of each what it is, or that it is none and why."""

import json
import sys

from fhir.resources.R4B import get_fhir_model_class

for line in sys.stdin:
    resource = json.loads(line)
    try:
        print(get_fhir_model_class(resource["resourceType"]).model_validate(resource).get_resource_type())
    except ValueError as error:
        print("refused:", " ".join(str(error).split())[:200])
