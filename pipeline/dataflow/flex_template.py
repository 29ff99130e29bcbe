"""The script that Dataflow's launcher of Flex Templates runs, as FLEX_TEMPLATE_PYTHON_PY_FILE.

It is called as `python flex_template.py --name=value ...`.
"""

from pipeline.dataflow.template_launch import main

main()
