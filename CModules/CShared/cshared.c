#include "cshared.h"
