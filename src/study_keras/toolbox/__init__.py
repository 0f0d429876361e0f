"""各课共用的工具。要教的步骤都写在课文脚本（hello_*.py）里，这里只放“管道”。"""

from toolbox.terminal import packages

packages.check()
