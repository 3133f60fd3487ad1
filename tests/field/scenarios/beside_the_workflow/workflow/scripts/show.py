import helper
import sys

print(helper.NAME, *(open(path).read().strip() for path in sys.argv[1:]))
