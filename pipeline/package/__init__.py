"""Packages of one version of a model, for machines that have no seqline.

    wheel      pip installs it; `import NAME` and `python -m NAME "a text"`; needs TensorFlow alone
    zip        the same without an installation: `python NAME-3.zip "a text"`
    openvino   the network as OpenVINO's intermediate representation, with the vocabularies

The same version gives the same bytes. What is packed is verified against the version's manifest
before, and read back after.
"""

FORMATS = ("wheel", "zip", "openvino")
