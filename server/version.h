/* version: what this build calls itself. */
#ifndef SERVER_VERSION_H
#define SERVER_VERSION_H

#define LAPWING_VERSION "0.1.0"

#endif
