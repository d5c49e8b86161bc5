/*
 *  ltdl.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef LTDL_H
#define LTDL_H

/**
 * Stand-in for the header of libltdl on machines without it.
 *
 * NEST's headers name the type of a handle and nothing else of that library, which comes with the
 * wheel of NEST but without its header. A real ltdl.h takes precedence (-idirafter).
 */
typedef struct lt__handle* lt_dlhandle;

#endif /* #ifndef LTDL_H */
